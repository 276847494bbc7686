"""What of clients/ is generated: the types from the API's document, the synchronous Python client, the JavaScript."""
