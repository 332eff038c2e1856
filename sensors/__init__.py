"""What reacts: sensors and schedules. They name assets by key and never import them."""
