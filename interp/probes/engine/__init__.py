"""The batched logistic fit behind `interp.probes.solve`: one job a module, no public names."""
