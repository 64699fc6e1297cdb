"""The probes that come with traindoctor, one file each."""
