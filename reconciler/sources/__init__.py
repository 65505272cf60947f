"""From files to what should exist: strict YAML, and the scan of the watched directory."""
