"""The AWS Lambda runtime made of actors."""
