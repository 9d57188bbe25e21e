"""The web port: metrics, health checks and a page that draws the chain. It only shows."""
