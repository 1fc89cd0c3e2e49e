module cni-live-migration/lab/images/pause

go 1.26
