"""What is told of services to whoever watches them. Knows neither servers nor the store."""
