"""What ``howdah doctor`` looks at, by subject."""
