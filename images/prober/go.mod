module cni-live-migration/prober

go 1.26
