"""Read the functions of a SAM or CloudFormation template, for `okibi dev`."""
