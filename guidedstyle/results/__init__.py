"""What comes out of a render: image, record, report page, comparisons."""
