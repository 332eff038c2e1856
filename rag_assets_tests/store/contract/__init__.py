"""What any store promises (`resources.store.base`), tested on each: `stores.STORES` has a line for every kind."""
