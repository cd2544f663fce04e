"""Pull requests on GitLab, Gitea and Forgejo, and which of them a repository is on."""
