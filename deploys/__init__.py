"""What is done to a node, in waves (pyinfra). Imports neither `bundler` nor `appliance`: it is given data."""
