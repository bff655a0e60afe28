"""Several servers of one service: standbys that follow its primary, and who becomes the primary when that is lost."""
