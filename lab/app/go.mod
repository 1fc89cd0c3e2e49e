module cni-live-migration/lab/app

go 1.26
