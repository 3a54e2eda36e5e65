"""Gates, the verdict, and the pages that show it."""
