"""Training heads on a frozen backbone: samples, batches, losses, metrics, and the run of it all."""
