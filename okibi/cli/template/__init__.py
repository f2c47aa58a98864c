"""`okibi template`: a CloudFormation or SAM template of a function and of what is around it."""
