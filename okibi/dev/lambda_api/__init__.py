"""Lambda's API, as far as `okibi dev` implements it: boto3 and the AWS CLI use it unchanged."""
