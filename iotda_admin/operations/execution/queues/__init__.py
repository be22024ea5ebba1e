"""What calls the workers: the database by default, RQ in Redis by `REDIS_URL`."""
