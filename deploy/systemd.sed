# The units of deploy/systemd as packages install them: programs, settings and user are theirs.
s|/opt/glupy-exporter/bin|/usr/bin|
s|^\(ExecStart=.* serve\)$|\1 --config.file=/etc/glupy-exporter/config.yml|
s|^DynamicUser=yes|User=glupy|
