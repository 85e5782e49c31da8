"""The steps of the factory, one module each: ``run(recipe)`` makes its checkpoint, or its files beside it."""
