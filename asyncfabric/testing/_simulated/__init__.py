"""The simulated cloud: Lambda and S3 on virtual time, by a seed, under the real driver."""
