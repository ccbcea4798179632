"""Read and write the edge-evidence table, one format a module: `encode` and `decode`."""
