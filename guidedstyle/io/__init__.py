"""Files and formats: images, layered documents, films; atomic writes and locks."""
