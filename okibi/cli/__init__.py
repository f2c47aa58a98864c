"""The command `okibi`: one module for each subcommand; `commands` declares the options."""
