"""What serves HTTP and knows nothing of GlusterFS."""
