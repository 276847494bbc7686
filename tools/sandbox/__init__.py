"""Development only: what stands in for Postgres and Backboard on one machine. `app` never imports it."""
