"""What the Google-side rooms share: names of tables, clients, and errors in a person's words. Needs the gcp extra."""
