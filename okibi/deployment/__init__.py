"""`okibi deploy`: put a function on AWS by a CloudFormation change set."""
