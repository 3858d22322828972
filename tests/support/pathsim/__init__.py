"""A path with endpoints, losses and capture points in memory: captures with the whole truth about every packet."""
