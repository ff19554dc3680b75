"""The product shown on real hosts of this machine: a site is applied, a call crosses it, a scanner bounces off."""
