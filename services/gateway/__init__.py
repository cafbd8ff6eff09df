"""The DICOMweb gateway: what programs may do with the servers they may reach, over whatever those servers speak."""
