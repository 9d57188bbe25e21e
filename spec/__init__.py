"""The explorer of membership: every order of events within bounds, on the product's own objects."""
