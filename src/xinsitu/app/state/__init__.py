"""What the page knows: view, ROIs, numbers, changes, and how they are saved."""
