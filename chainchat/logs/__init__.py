"""What a node writes into its log, how, and for whom."""
