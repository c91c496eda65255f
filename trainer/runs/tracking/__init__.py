"""MLflow: runs and models are logged, registered, listed and fetched. Only this room and `model.pyfunc` know MLflow."""
