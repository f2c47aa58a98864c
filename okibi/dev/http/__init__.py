"""HTTP requests to functions, as function URLs, API Gateway and load balancers send them."""
