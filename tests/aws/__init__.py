"""AWS Lambda and S3."""
