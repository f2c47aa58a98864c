"""Events as AWS services send them, and responses as they read them."""
