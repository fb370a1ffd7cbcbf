"""The whole way on data and networks that need no download: what ``bitpress demo`` runs."""
