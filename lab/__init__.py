"""A network in a box: hosts with sshd, a dedicated line with ground truth, a firewall, and faults on demand."""
