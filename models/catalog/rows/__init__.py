"""The rows, one file per family; `models.catalog` joins them."""
