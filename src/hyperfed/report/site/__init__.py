"""Write the dossier site: a folder of pages that open without a server or a network.

`site_files` returns every page by its path.
"""

from hyperfed.report.site.pages import SiteContent, site_files

__all__ = ["SiteContent", "site_files"]
