"""The commands that show single fops of this node's bricks: slow, inflight and trace."""
