"""From a document to a pull request, test by test, watched on a page."""
