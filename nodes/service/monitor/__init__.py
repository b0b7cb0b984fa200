"""What is watched of the models in service: figures (document, build), their page (page, words, plots)."""
