"""Reports as a page of HTML: one file, nothing fetched, charts as SVG."""
