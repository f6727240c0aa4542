"""The results of renders: image, record, report page, comparisons."""
