"""What the server is asked and told: addresses, accounts, projects, tasks as they come."""
