"""A folder of labelled documents held against targets: what it holds, what is repeated, what its surface tells."""
