"""What every page shares: the application, headers, visits, forms, languages, templates."""
