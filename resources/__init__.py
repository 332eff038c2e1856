"""What the assets and sensors stand on: plain Python, free of Dagster, callable by a test as it is."""
